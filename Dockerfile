FROM python:3.12-slim

# HEARTBEAT_DIR: where worker and beat leave their sign of life for the health check.
ENV STATIC_MANIFEST=true HEARTBEAT_DIR=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/npd
RUN useradd --create-home --uid 10001 npd && mkdir -p var && chown npd var

COPY requirements.txt .
RUN pip install -r requirements.txt

COPY manage.py Procfile ./
COPY config config
COPY npd npd
COPY sync sync
COPY conflicts conflicts
COPY sandbox sandbox
COPY templates templates
COPY static static
COPY data data
# Settings want these two; neither is used, nor kept in the image.
RUN SECRET_KEY=build REDIS_URL=redis://build DATABASE_URL=postgresql://build/build python manage.py collectstatic --noinput

USER npd
EXPOSE 8000
CMD ["python", "-m", "config.web"]
