"""All settings, from the environment; the one file (docs/settings.md)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from environ import FileAwareEnv

from phonebank import __version__
from phonebank.audit import reports
from phonebank.config.keys import audit_key, field_keys, secret_key
from phonebank.embedded import Cluster, data_home

env = FileAwareEnv()
PACKAGE = Path(__file__).resolve().parent.parent
HOME = data_home()

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or secret_key(HOME)
# The first key encrypts, all of them decrypt (rotation).
FIELD_ENCRYPTION_KEYS = env.list("FIELD_ENCRYPTION_KEYS", default=[]) or field_keys(HOME)
# Seals the audit log; not to be changed (docs/audit.md).
AUDIT_KEY = env.str("AUDIT_KEY", default="") or audit_key(HOME)

# The address that people and the gateway reach us at; decides https, cookies and whether webhooks can arrive.
PUBLIC_URL = env.str("PUBLIC_URL", default="").rstrip("/")
IS_HTTPS = PUBLIC_URL.startswith("https://")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
if PUBLIC_URL:
    _host = urlsplit(PUBLIC_URL).hostname or ""
    ALLOWED_HOSTS.append(f"[{_host}]" if ":" in _host else _host)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "procrastinate.contrib.django",
    # Ours before allauth: the first template of a name is taken.
    "phonebank.accounts",
    "phonebank.audit",
    "phonebank.whatsappapi",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "django_htmx",
    "template_partials",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "phonebank.audit.middleware.AuditMiddleware",
    "phonebank.config.headers.SecurityHeaders",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "phonebank.accounts.middleware.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "phonebank.accounts.lifetime.LifetimeMiddleware",
    "phonebank.accounts.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "phonebank.config.gone.GoneMiddleware",
]

ROOT_URLCONF = "phonebank.config.urls"
WSGI_APPLICATION = "phonebank.config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "phonebank.whatsappapi.context.site",
            ],
        },
    }
]

# PostgreSQL only: a server of one's own, or the embedded one (docs/adr/0001).
DATABASE_URL = env.str("DATABASE_URL", default="")
_server = env.db_url_config(DATABASE_URL) if DATABASE_URL else Cluster.location(HOME)
DATABASES = {
    "default": {
        **_server,
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # Seconds. The driver's own patience with a server that takes a connection and says nothing is 130.
        "OPTIONS": {"connect_timeout": 10} | _server.get("OPTIONS", {}),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "phonebank.accounts.passwords.OwnWordsValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "whatsappapi:dashboard"
SIGNUP = env.str("SIGNUP", default="invite")  # closed | invite | open
DEFAULT_PLAN = env.str("DEFAULT_PLAN", default="free")
EMAIL_URL = env.str("EMAIL_URL", default="")
ACCOUNT_ADAPTER = "phonebank.accounts.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if EMAIL_URL else "none"
ACCOUNT_CHANGE_EMAIL = True  # a new address takes the place of the old one once it is proven
ACCOUNT_SIGNUP_FORM_CLASS = "phonebank.accounts.forms.SignupForm"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_RATE_LIMITS = {"guess": "10/m/ip"}  # besides allauth's own: accounts/adapter.py
# The second factor (docs/security.md): codes of an app, each for 30 seconds and once.
MFA_ADAPTER = "phonebank.accounts.mfa.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_FORMS = {"authenticate": "phonebank.accounts.mfa_forms.CodeForm"}
MFA_TOTP_ISSUER = "Phonebank"
MFA_TOTP_TOLERANCE = 0
MFA_RECOVERY_CODES_SHOW_ONCE = True
# Where mail is set up nobody logs in before their address is proven; a later address may wait for its proof.
MFA_ALLOW_UNVERIFIED_EMAIL = True
if EMAIL_URL:
    vars().update(env.email_url_config(EMAIL_URL))
else:
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Phonebank <phonebank@localhost>")

# Languages of the interface (docs/languages.md), each by its own name. Numbers are grouped where a template asks for it
# (intcomma), not everywhere: ids, years and fields stay as they are.
LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", "English (United States)"),
    ("en-gb", "English (United Kingdom)"),
    ("es", "Español"),
    ("pt-br", "Português (Brasil)"),
    ("ar", "العربية"),
    ("id", "Bahasa Indonesia"),
    ("hi", "हिन्दी"),
]
LOCALE_PATHS = [PACKAGE / "locale"]
FORMAT_MODULE_PATH = ["phonebank.config.formats"]
LANGUAGE_COOKIE_AGE = 31_536_000
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = IS_HTTPS
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
# Served from the package without a collect step: nothing to run before the first start.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600

# Safe by default
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
if IS_HTTPS:  # browsers then take these cookies from this very host only, over https
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # asked from beside us, not through the proxy
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
# The proxy that ends TLS, by its address; its X-Forwarded-For and -Proto are believed, nobody else's.
TRUSTED_PROXY = env.str("TRUSTED_PROXY", default="127.0.0.1" if IS_HTTPS else "")
if TRUSTED_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    }
}
# Login throttles count over all web processes; there is no second store to ask. A full cache drops rows that are still
# needed, and Django's 300 are filled by whoever tries as many made-up addresses.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "phonebank_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if TRUSTED_PROXY else 0
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
IMPORT_MAX_BYTES = 50 * 1024 * 1024
WEBHOOK_MAX_BYTES = 1024 * 1024
# Raw webhooks that were applied are deleted after so many days.
WEBHOOK_KEEP_DAYS = env.int("WEBHOOK_KEEP_DAYS", default=30)

# The gateway. The sandbox's address is set by the commands that start one.
WASENDER_URL = env.str("WASENDER_URL", default="https://www.wasenderapi.com/api")
# Sessions that one person may create within an hour; 0 is any number.
SESSIONS_PER_HOUR = env.int("SESSIONS_PER_HOUR", default=30)

# The API (docs/api.md): requests a minute and person.
API_RATE = env.int("API_RATE", default=600)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "phonebank.whatsappapi.api.auth.TokenAuthentication",
        "phonebank.whatsappapi.api.auth.LoginAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "phonebank.whatsappapi.api.auth.MayWrite",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["phonebank.whatsappapi.api.auth.PersonThrottle"],
    "DEFAULT_PARSER_CLASSES": ["phonebank.whatsappapi.api.parsing.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "phonebank.whatsappapi.api.paging.CursorPage",
    "DEFAULT_SCHEMA_CLASS": "phonebank.whatsappapi.api.schema.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "phonebank.whatsappapi.api.handler.ErrorHandler",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Phonebank API",
    "DESCRIPTION": "Sessions, people and campaigns. How to log in, repeat safely, page and read errors: docs/api.md.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SCHEMA_PATH_PREFIX": "/api",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "phonebank.whatsappapi.api.schema.refuse_unknown_fields",
    ],
}
# Knox gives tokens their form and hash; the table is ours, so its own is never made.
KNOX_TOKEN_MODEL = "accounts.ApiToken"  # noqa: S105  (a model)
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"TOKEN_MODEL": KNOX_TOKEN_MODEL, "TOKEN_TTL": None, "TOKEN_PREFIX": "pbk_", "AUTH_HEADER_PREFIX": "Bearer"}

# Where the web process listens on this machine: the sandbox posts its webhooks there. `serve` notes what it took.
_address = HOME / "address"
LOCAL_URL = env.str("LOCAL_URL", default=_address.read_text() if _address.exists() else "http://127.0.0.1:8000")

# Alerts (docs/alerts.md): ntfy servers besides ntfy.sh, and whether webhooks may go into private networks.
ALERT_HOSTS = [one.lower() for one in env.list("ALERT_HOSTS", default=[])]
ALERT_ALLOW_PRIVATE = env.bool("ALERT_ALLOW_PRIVATE", default=False)

# The send path's clocks, in seconds (send-path rules: docs/send-path.md). A drill scales them together.
SEND_DEADLINE = env.float("SEND_DEADLINE", default=20.0)
SEND_CONNECT_TIMEOUT = env.float("SEND_CONNECT_TIMEOUT", default=5.0)
SEND_LEASE = env.float("SEND_LEASE", default=30.0)
SEND_SETTLE = env.float("SEND_SETTLE", default=120.0)
SEND_POLL_AFTER = env.float("SEND_POLL_AFTER", default=600.0)
SEND_SHARDS = env.int("SEND_SHARDS", default=16)
SEND_IN_FLIGHT = env.int("SEND_IN_FLIGHT", default=2)

# Who may read /metrics without being logged in as an administrator; nobody when empty.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# Campaigns that lose too many people pause by themselves. A drill, which breaks things on purpose, switches that off.
BRAKES = env.bool("BRAKES", default=True)

LOG_FORMAT = env.str("LOG_FORMAT", default="line")  # line | json
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "phonebank.audit.logs.RequestId"}},
    "formatters": {"line": {"()": "phonebank.audit.logs.Line"}, "json": {"()": "phonebank.audit.logs.Json"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["request_id"]}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="WARNING")},
    "loggers": {"phonebank": {"level": env.str("LOG_LEVEL", default="INFO")}},
}
if SENTRY_DSN := env.str("SENTRY_DSN", default=""):
    reports.begin(SENTRY_DSN, __version__)
