"""What a JSON schema cannot say of a request, so that schemathesis does not expect it of the server."""

import schemathesis

# A password has 8 to 71 bytes; a schema counts characters, which are as many where they are ASCII.
PASSWORDS = ("password", "new")


@schemathesis.hook
def filter_case(context, case):
    if isinstance(case.body, dict):
        for name in PASSWORDS:
            password = case.body.get(name)
            if isinstance(password, str) and not password.isascii():
                return False
    return True
