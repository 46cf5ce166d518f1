"""A resource server with Authlib. Reads requests as JSON from standard input, and writes the results as JSON to
standard output: without and with the adaptation to tokens that are not restricted."""

import json
import sys
from types import SimpleNamespace

import requests
from authlib.oauth2 import OAuth2Error, ResourceProtector
from authlib.oauth2.rfc6750 import InsufficientScopeError
from authlib.oauth2.rfc7662 import IntrospectTokenValidator

question = json.load(sys.stdin)


class Validator(IntrospectTokenValidator):
    def introspect_token(self, token_string):
        client = (question["client_id"], question["client_secret"])
        response = requests.post(question["endpoint"], data={"token": token_string}, auth=client, timeout=10)
        # Anything but a 200 is no verdict.
        response.raise_for_status()
        return response.json()


class Adapted(Validator):
    """Accepts a token without restrictions, and for the others requires one of the resource's scopes."""

    def validate_token(self, token, scopes, request):
        super().validate_token(token, None, request)
        if "restrictions" in token and (not scopes or self.scope_insufficient(token["scope"], scopes)):
            raise InsufficientScopeError()


def result(protector, token, scopes):
    try:
        protector.validate_request(scopes, SimpleNamespace(headers={"Authorization": f"Bearer {token}"}))
    except OAuth2Error as error:
        return error.error
    except requests.HTTPError as error:
        return f"error: {error.response.status_code}"
    return "accepted"


protector = ResourceProtector()
protector.register_token_validator(Adapted() if question["adapted"] else Validator())
json.dump([result(protector, token, scopes) for token, scopes in question["requests"]], sys.stdout)
