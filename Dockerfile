# Two images: `docker build .` makes NPD's (web, worker, beat), `docker build --target sandbox .` the Monday simulator's.
# The Python that the tests run on, by its tag. Pinned to one image for ever, it is
#   docker build --build-arg BASE=python:3.11-slim@sha256:… .
# and `docker buildx imagetools inspect python:3.11-slim` says the digest.
ARG BASE=python:3.11-slim

# Without pip in it, and from wheels only: nothing is compiled here, and nothing installs later into what runs.
FROM ${BASE} AS venv
WORKDIR /srv/npd
RUN python -m venv --without-pip /opt/venv
ENV INSTALL="pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all:"

FROM venv AS packages
COPY requirements.txt ./
RUN $INSTALL -r requirements.txt

FROM venv AS sandbox-packages
COPY requirements/sandbox.txt ./
RUN $INSTALL -r sandbox.txt

FROM packages AS program
COPY manage.py ./
COPY config config
COPY npd npd
COPY sync sync
COPY conflicts conflicts
COPY templates templates
COPY static static
# What the admin shows as its help.
COPY docs/howto docs/howto
COPY docs/reference docs/reference
COPY docs/decisions docs/decisions
COPY docs/connect-monday.md docs/guarantees.md docs/
# Settings want these three; they are used for nothing, and not kept in the image. The root can't be written later, so
# the bytecode is made here too.
RUN SECRET_KEY=of-the-build-alone-which-serves-nobody REDIS_URL=redis://build DATABASE_URL=postgresql://build/build \
        /opt/venv/bin/python manage.py collectstatic --noinput \
    && rm -rf static requirements.txt \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash config npd sync conflicts

FROM ${BASE} AS runtime
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The image has no bytecode of the standard library, and the root can't be written later.
RUN python -m compileall -q -x 'site-packages|/tests?/' --invalidation-mode unchecked-hash \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp npd
WORKDIR /srv/npd
# By number: runAsNonRoot doesn't look up names.
USER 10001:10001

FROM runtime AS sandbox
LABEL org.opencontainers.image.title="NPD Sync: Monday sandbox" org.opencontainers.image.version="0.4.0"
COPY --from=sandbox-packages /opt/venv /opt/venv
COPY sandbox sandbox
USER 0:0
RUN python -m compileall -q --invalidation-mode unchecked-hash sandbox && install -d -o npd -g npd var
USER 10001:10001
EXPOSE 8001
HEALTHCHECK --interval=15s --timeout=5s --retries=3 --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8001/', timeout=3)"]
CMD ["python", "-m", "sandbox", "--host", "0.0.0.0", "--port", "8001", "--data", "var/sandbox.db"]

# The last stage is the one that a plain build makes.
FROM runtime AS app
LABEL org.opencontainers.image.title="NPD Sync" org.opencontainers.image.version="0.4.0"
ENV PORT=8000
COPY --from=packages /opt/venv /opt/venv
COPY --from=program /srv/npd /srv/npd
EXPOSE 8000
CMD ["python", "-m", "gunicorn", "config.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--threads", "4", "--no-control-socket", "--forwarded-allow-ips", ""]
