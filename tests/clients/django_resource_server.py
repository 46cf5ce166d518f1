"""A resource server with django-oauth-toolkit. Reads requests as JSON from standard input, and writes the results as
JSON to standard output."""

import json
import sys

import django
from django.conf import settings
from django.core.management import call_command
from oauthlib.common import Request

question = json.load(sys.stdin)

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    USE_TZ=True,
    OAUTH2_PROVIDER={
        "RESOURCE_SERVER_INTROSPECTION_URL": question["endpoint"],
        "RESOURCE_SERVER_INTROSPECTION_CREDENTIALS": (question["client_id"], question["client_secret"]),
        # It accepts a token for this time, even if it is revoked. By default, ten hours.
        "RESOURCE_SERVER_TOKEN_CACHING_SECONDS": 1,
        # It stores a digest of the token instead of the token.
        "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    },
)
django.setup()
call_command("migrate", verbosity=0)

from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


def result(token, scopes):
    request = Request("https://app.example.org/")
    if OAuth2Validator().validate_bearer_token(token, scopes, request):
        return "accepted"
    return request.oauth2_error["error"]


json.dump([result(token, scopes) for token, scopes in question["requests"]], sys.stdout)
