"""Introspects tokens with Authlib. Reads the request as JSON from standard input, and writes the responses as JSON to
standard output."""

import json
import sys

from authlib.integrations.requests_client import OAuth2Session

question = json.load(sys.stdin)
session = OAuth2Session(question["client_id"], question["client_secret"], token_endpoint_auth_method="client_secret_basic")


def introspect(token):
    response = session.introspect_token(question["endpoint"], token=token, token_type_hint="access_token")
    return response.json()


json.dump([introspect(token) for token in question["tokens"]], sys.stdout)
