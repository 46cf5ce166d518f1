"""Returns the path and the identity that a WSGI application receives.

gunicorn --bind 127.0.0.1:9000 app
"""


def application(environ, start_response):
    environ["wsgi.input"].read()
    text = f"path: {environ['PATH_INFO']}\n"
    for name in ["SUBJECT", "TOKEN_ID", "SCOPES", "HANDLER", "EXPIRES"]:
        text += f"{name}: {environ.get('HTTP_X_AUTH_' + name, '')}\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode("latin-1")]
