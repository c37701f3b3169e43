"""Django's settings, each read once from the environment. .env.example explains every variable."""

import os
import re
import sys
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from psycopg import IsolationLevel

from config import environment
from config.environment import env, load_or_create_secrets
from config.logs import logging_config, scrubbed_event
from config.navigation import UNFOLD  # noqa: F401 - a setting

BASE_DIR = environment.BASE_DIR
environment.load()

# --- This installation -------------------------------------------------------------------------------------
DATABASE_URL = environment.database_url()
EMBEDDED = not env("DATABASE_URL") or env("EMBEDDED")
DEBUG = env("DEBUG")
PORT = env("PORT")
SANDBOX_PORT = env("SANDBOX_PORT")
SITE_URL = env("SITE_URL") or f"http://127.0.0.1:{PORT}"
SITE_IS_HTTPS = SITE_URL.startswith("https://")
# How many proxies in front are trusted to say who calls, and whether by HTTPS.
TRUSTED_PROXIES = env("TRUSTED_PROXIES")
if DEBUG and TRUSTED_PROXIES:
    raise ImproperlyConfigured("DEBUG shows traces to everybody whom the proxy lets in: set DEBUG=false")
DEMO = env("DEMO")
SECRET_KEY = env("SECRET_KEY")
if not SECRET_KEY and EMBEDDED:
    SECRET_KEY = load_or_create_secrets(environment.VAR)["secret_key"]
if len(SECRET_KEY) < (1 if DEBUG else 32):
    raise ImproperlyConfigured(
        "set SECRET_KEY to a long random text, of 32 characters or more; make one with: "
        'python3 -c "import secrets; print(secrets.token_urlsafe(50))"'
    )
# For secrets in the database (sync/kernel/secret_texts.py): the first key encrypts, each key decrypts. SECRET_KEY
# decrypts what was stored before ENCRYPTION_KEY was set.
ENCRYPTION_KEYS = list(dict.fromkeys([*env("ENCRYPTION_KEY"), SECRET_KEY]))
# This machine's own names are for whoever works on it.
SITE_HOST = re.sub(r":\d+$", "", urlsplit(SITE_URL).netloc)
ALLOWED_HOSTS = [*(env("ALLOWED_HOSTS") or [SITE_HOST]), "localhost", "127.0.0.1", "[::1]"]
CRON_SECRET = env("CRON_SECRET")
METRICS_TOKEN = env("METRICS_TOKEN")

# --- Monday ------------------------------------------------------------------------------------------------
MONDAY_API_KEY = env("MONDAY_API_KEY")
MONDAY_API_URL: str = env("MONDAY_API_URL")
# The boards' address in a browser. If it isn't set, sync.registry derives it from the API's address.
MONDAY_WEB_URL = env("MONDAY_WEB_URL")
# A call without a version gets Monday's current one, which changes every quarter.
MONDAY_API_VERSION = env("MONDAY_API_VERSION")
# Monday ends a call after 60 s (developer.monday.com/api-reference/docs/development-best-practices). Until then a
# mutation that timed out here may still take effect, so its absence proves nothing.
MONDAY_TIMEOUT_SECONDS = env("MONDAY_TIMEOUT_SECONDS")
MONDAY_SETTLE_SECONDS = env("MONDAY_SETTLE_SECONDS")
MONDAY_CONTACTS_BOARD_ID = env("MONDAY_CONTACTS_BOARD_ID")
MONDAY_ORGANIZATIONS_BOARD_ID = env("MONDAY_ORGANIZATIONS_BOARD_ID")
# Boards of other synced models, for sync.registry.
BOARD_IDS = {name: env.str(name) for name in os.environ if environment.names_board(name) and os.environ[name]}
MONDAY_SIGNING_SECRET = env("MONDAY_SIGNING_SECRET")
MONDAY_WEBHOOK_TOKEN = env("MONDAY_WEBHOOK_TOKEN")
# The country of phone numbers without one, until one is chosen in Settings.
DEFAULT_PHONE_REGION = "US"
# A new item without a value in the match key's column waits this long, because people type cell after cell.
NEW_ITEM_WAIT_SECONDS = env("NEW_ITEM_WAIT_SECONDS")
# If a due job isn't claimed within this time, no worker runs, or its pool is stuck and the worker ends itself.
READY_MAX_DUE_SECONDS = 120.0

# --- Django ------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "import_export",
    "rest_framework",
    "django_filters",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "django_celery_beat",
    "pgtrigger",
    "pghistory",
    "sync",
    "npd",
    "conflicts",
]
MIDDLEWARE = [
    "config.logs.RequestIdMiddleware",  # first, so that every log line of a request has its id
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.HeadersMiddleware",
    "config.middleware.ProbeMiddleware",  # before the host is checked, in CommonMiddleware at the latest
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.navigation.ZoneMiddleware",
    "config.middleware.UnreadableTextMiddleware",
    "config.middleware.LastSlashMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "npd.sign_in.RequireTwoFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "config.middleware.LiveFetchMiddleware",
    "config.middleware.LostActMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "pghistory.middleware.HistoryMiddleware",
    "config.middleware.ImpossibleValueMiddleware",
    "config.middleware.LockTimeoutMiddleware",
]
# Only requests that may write need an author.
PGHISTORY_MIDDLEWARE_METHODS = ("POST", "PUT", "PATCH", "DELETE")
# The engine's clock (sync/clock.py): the time of the change, not of its transaction's start.
PGHISTORY_CREATED_AT_FUNCTION = "sync_now()"
ROOT_URLCONF = "config.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["config.page_tags"],
        },
    }
]
DATABASES: dict[str, dict[str, Any]] = {
    "default": {**env.db_url_config(DATABASE_URL), "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
}
# A URL has a socket's folder behind the question mark, but `manage.py dbshell` reads only HOST.
DATABASE_OPTIONS = DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["HOST"] = DATABASE_OPTIONS.pop("host", "") or DATABASES["default"]["HOST"]
# With each BEGIN, because a pooler's connections keep no settings; sync/kernel/db.py sets the others.
DATABASE_OPTIONS["isolation_level"] = IsolationLevel.READ_COMMITTED
# A pooler that changes connections between transactions keeps neither prepared statements nor cursors.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = not isinstance(DATABASE_OPTIONS.get("prepare_threshold", 0), int)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# In the database, so that all processes count limits together. The model CacheEntry has its table.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "sync_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}
# The pages also need the permissions to add and change, or to view.
IMPORT_EXPORT_IMPORT_PERMISSION_CODE = "import"
IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "export"
# In the database: a cookie would store the messages in clear text.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# --- Sign-in by django-allauth; its URLs are listed in config/urls.py ------------------------------------
# Whether users of the admin must set up a second factor.
REQUIRE_TWO_FACTOR = env("REQUIRE_TWO_FACTOR")
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"
ACCOUNT_LOGOUT_REDIRECT_URL = LOGIN_URL
ACCOUNT_ADAPTER = "npd.sign_in.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"  # administrators give people their addresses
ACCOUNT_SESSION_REMEMBER = True
# For one address, and for one user from all addresses: too few to guess, enough for typing errors.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,20/5m/key"}
# How long a link to set a password works. Administrators send it, and its receiver may be away.
PASSWORD_RESET_TIMEOUT = 7 * 24 * 60 * 60
MFA_ADAPTER = "npd.sign_in.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "NPD Sync"
# The company's identity provider (OpenID Connect) signs in users whose email address it has verified.
OIDC_SERVER_URL = env("OIDC_SERVER_URL")
if OIDC_SERVER_URL and urlsplit(OIDC_SERVER_URL).scheme != "https" and not (DEBUG or EMBEDDED):
    raise ImproperlyConfigured("OIDC_SERVER_URL must begin with https://: what it answers says who somebody is.")
SOCIALACCOUNT_ADAPTER = "npd.sign_in.ProviderAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
# By a link, because our policy (form-action) forbids forms that redirect to another site.
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "company",
                "name": "your company account",
                "client_id": env("OIDC_CLIENT_ID"),
                "secret": env("OIDC_CLIENT_SECRET"),
                "settings": {"server_url": OIDC_SERVER_URL},
            }
        ][: 1 if OIDC_SERVER_URL else 0],
    }
}

# --- Language and files ----------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
FORMAT_MODULE_PATH = ["config"]
# In any other zone kombu's timestamps and the database's clock would differ.
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
STATICFILES_DIRS = [folder for folder in [BASE_DIR / "static"] if folder.is_dir()]
# After collectstatic, file names have a hash and are cached for ever; `make run` works without it.
STATIC_MANIFEST = not (DEBUG or EMBEDDED) and (
    "collectstatic" in sys.argv or (STATIC_ROOT / "staticfiles.json").is_file()
)
WHITENOISE_USE_FINDERS = not STATIC_MANIFEST
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_MANIFEST
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- Safety ------------------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = SITE_IS_HTTPS and TRUSTED_PROXIES > 0
# Health checks and Prometheus may come by plain HTTP, and by any host (config/middleware.py).
PROBES = ("/healthz", "/readyz", "/metrics")
SECURE_REDIRECT_EXEMPT = [rf"^{path[1:]}$" for path in PROBES]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
USE_X_FORWARDED_HOST = TRUSTED_PROXIES > 0
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
# Without subdomains, which may belong to somebody else and use plain HTTP.
SECURE_HSTS_SECONDS = 31_536_000 if SITE_IS_HTTPS else 0
SESSION_COOKIE_SECURE = SITE_IS_HTTPS
CSRF_COOKIE_SECURE = SITE_IS_HTTPS
CSRF_TRUSTED_ORIGINS = [SITE_URL] if SITE_IS_HTTPS else []
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# Only pages in the admin's frame may evaluate text, because unfold's Alpine evaluates attributes. Alpine's build
# without that (@alpinejs/csp) doesn't take the expressions in unfold's templates.
FRAME_SECURITY_POLICY = CONTENT_SECURITY_POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")
# Features of browsers that the pages never use.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in ("camera", "display-capture", "geolocation", "microphone", "payment", "serial", "usb")
)

# --- Notifications -----------------------------------------------------------------------------------------
EMAIL_BACKEND = "sync.kernel.mails.EmailBackend"
EMAIL_SERVER = env.email_url_config(env("EMAIL_URL") or "smtp://")
EMAIL_HOST = EMAIL_SERVER["EMAIL_HOST"] or ""
EMAIL_HOST_USER = EMAIL_SERVER["EMAIL_HOST_USER"] or ""
EMAIL_HOST_PASSWORD = EMAIL_SERVER["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS = EMAIL_SERVER.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = EMAIL_SERVER.get("EMAIL_USE_SSL", False)
# 587 is submission with STARTTLS (RFC 6409), 465 with TLS from the first byte (RFC 8314).
USUAL_EMAIL_PORT = 465 if EMAIL_USE_SSL else 587
EMAIL_PORT = EMAIL_SERVER["EMAIL_PORT"] or USUAL_EMAIL_PORT
# A mail server that hangs must not use up the task's time for other receivers.
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = env("EMAIL_FROM") or f"NPD Sync <npd-sync@{urlsplit(SITE_URL).hostname or 'localhost'}>"
if DEMO and not EMAIL_HOST:
    # The demo has no mail server, so it writes emails to files.
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = BASE_DIR / "var" / "mail"

# --- Limits of the sync, and what is kept ------------------------------------------------------------------
REMOVED_ITEM_QUIET_SECONDS = 600  # an item counts as removed after so long, because people undo a deletion
# A person deletes fewer records in an hour than these; a script or a wrong filter deletes more.
GUARD_RECORDS = env("SYNC_GUARD_RECORDS")
GUARD_PERCENT = env("SYNC_GUARD_PERCENT")
# A field that the board rewrites so often is throttled: an automation never stops, as two people would.
LOOP_TIMES = 5
# Monday keeps deleted items for so long; a record that is restored later wouldn't find its item.
TOMBSTONE_DAYS = 30
# Intents and webhook events: longer than a webhook may be late. Passes look as far back for overwritten edits.
JOURNAL_DAYS = 7
HISTORY_DAYS = 365  # of activity, records' changes and approvals
QUEUE_DAYS = 14  # of finished jobs

# --- API ---------------------------------------------------------------------------------------------------
API_THROTTLE = env("API_THROTTLE")
# Each request is a pass at the highest priority, which takes two calls of the API quota.
SYNC_NOW_THROTTLE = env("SYNC_NOW_THROTTLE")
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "sync.api.errors.ApiSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "sync.api.ApiTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["sync.api.api_base.ListFilters", "sync.api.api_base.StableOrdering"],
    "DEFAULT_PAGINATION_CLASS": "sync.api.api_base.Pages",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "NUM_PROXIES": TRUSTED_PROXIES,
    "DEFAULT_THROTTLE_RATES": {"user": API_THROTTLE, "sync-to-monday": SYNC_NOW_THROTTLE},
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
# Tokens of programs.
MIGRATION_MODULES = {"knox": None}  # they would make its own table, which nothing uses
KNOX_TOKEN_MODEL = "sync.ApiToken"  # noqa: S105 - a model
REST_KNOX = {
    "AUTH_HEADER_PREFIX": "Bearer",
    "TOKEN_PREFIX": "npd_",  # so that scanners find one that was published by mistake
    "TOKEN_TTL": timedelta(days=365),
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "sync.api.errors.ApiExceptionHandler",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": True,  # the demo is in DEBUG, and a program can't read its page
}
SPECTACULAR_SETTINGS = {
    "ENUM_NAME_OVERRIDES": {
        "ResolutionTypeEnum": "conflicts.models.ResolutionType",
        "ConflictKindEnum": "conflicts.reports.ConflictKind",
        "ConflictStateEnum": "conflicts.pages.case.STATES",
        "SyncStatusEnum": "sync.choices.RecordSyncStatus",
        "SyncDirectionEnum": "sync.choices.SyncDirection",
        "SyncStateStatusEnum": "sync.choices.SyncStatus",
        "RecordSyncStateEnum": "sync.state.record_view.RecordState",
        "SyncStateDirectionEnum": "sync.choices.SyncStateDirection",
        "ActivityKindEnum": "sync.choices.ActivityKind",
        "JobStatusEnum": "sync.choices.QueueStatus",
        "JobDirectionEnum": "sync.choices.QueueDirection",
        "JobOperationEnum": "sync.choices.OPERATIONS",
        "JobPriorityEnum": "sync.choices.Priority",
        "SyncStateResolutionEnum": "sync.choices.ResolutionStrategy",
        "ManualResolutionTypeEnum": "conflicts.pages.api.MANUAL_CHOICES",
        "SelectionChooseEnum": "conflicts.models.SELECTABLE",
    },
    "OAS_VERSION": "3.1.1",
    "TITLE": "NPD Sync",
    "DESCRIPTION": "Contacts and organizations, and their synchronization with Monday.com.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1(/sync)?",
    "SERVERS": [{"url": SITE_URL}],
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

CSRF_FAILURE_VIEW = "config.middleware.form_expired"

# --- Celery ------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = environment.broker_url(DATABASE_URL)
BROKER_IS_REDIS = CELERY_BROKER_URL.startswith(("redis://", "rediss://"))
CELERY_TIMEZONE = TIME_ZONE
# Over PostgreSQL kombu has no event loop, and a pool's processes share one read lock: killing the idle process that
# has the lock would stop the worker for good. Threads have no lock, nor time limits, so tasks have limits of their own.
CELERY_WORKER_POOL = "prefork" if BROKER_IS_REDIS else "threads"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # no results: nothing to clean up
# The soft limit lets a task end its transaction and release its lease; the hard one kills what hangs.
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_SOFT_TIME_LIMIT = 270
# A prefetched message would wait behind a long task while another worker is idle.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Python keeps the memory of a large pass; a fresh process frees it.
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
# A save doesn't wait for the broker: it tries once, and the next sweep wakes the worker if that failed.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # a Redis that is full, or a read-only replica, ends no worker
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {
        "socket_connect_timeout": 0.2,  # seconds
        "socket_timeout": 2.0,  # longer than a worker's blocking read, which takes one second
        "visibility_timeout": 2 * CELERY_TASK_TIME_LIMIT,
    }
    if BROKER_IS_REDIS
    else {}
)
# How long a save may wait until its wake-up is sent: to connect, and to write.
WAKE_UP_TRANSPORT_OPTIONS: dict[str, Any] = {"max_retries": 0} | (
    {"socket_connect_timeout": 0.1, "socket_timeout": 0.1} if BROKER_IS_REDIS else {}
)
CELERY_BEAT_SCHEDULER = "sync.tasks:Scheduler"

# The initial schedule: by name the task, its seconds or its crontab in UTC, and what it does. Administrators change it
# under “Schedule”.
SCHEDULE: dict[str, tuple[str, Any, str]] = {
    "Start due jobs": ("sync.sweep", 10,
        "Starts the jobs whose time has come: retries, and those whose message to the worker was lost."),
    # Each board is asked every 10 minutes or less often, by the API quota (sync/operations/sweep.py).
    "Check for missed changes": ("sync.sweep_boards", 60,
        "Asks boards what changed, every 10 minutes or less often by the day's API quota; repairs missing webhooks."),
    # Once a night, between 2 and 5 UTC (sync/operations/comparison.py); the task runs often, in case Monday is away.
    "Compare both sides": ("sync.compare_boards", 600,
        "Compares every item with its record and the last synced values, once a night."),
    "Compare the API quota with Monday's figures": ("sync.refresh_quota", 3_600,
        "Asks Monday what is used of the API quota."),
    "Close approvals that are not needed any more": ("sync.release_approvals", 60,
        "Closes approvals whose reason has ended, for example because somebody restored the records."),
    "Notify people": ("sync.notify_people", 60,
        "Notices what needs attention, and sends the messages that are due."),
    "Continue set-ups": ("sync.set_up", 10, "Applies the set-ups that were started."),
    "Delete old data": ("sync.prune", crontab(hour=2, minute=40),
        "Deletes finished jobs, activity, changes and deliveries that were kept for their time."),
    "Delete delivered messages": ("config.delete_delivered_messages", 300,
        "Deletes the broker's delivered messages, where PostgreSQL is the broker."),
}  # fmt: skip


# --- Logs and error reports --------------------------------------------------------------------------------
# Secrets of the database are added when they are decrypted (sync/limits/credentials.py).
SECRET_TEXTS = [SECRET_KEY, *environment.secret_texts()]
LOGGING = logging_config(level="INFO", json_lines=not (DEBUG or EMBEDDED), secrets=SECRET_TEXTS)
DEFAULT_EXCEPTION_REPORTER = "config.logs.SecretlessReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "config.logs.SecretlessFilter"
if env("SENTRY_DSN"):
    import sentry_sdk

    sentry_sdk.init(
        dsn=env("SENTRY_DSN"),
        before_send=scrubbed_event,  # type: ignore[arg-type]
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        trace_propagation_targets=[],  # no headers of Sentry in calls to Monday
    )
