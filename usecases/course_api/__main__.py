"""Serve, on 127.0.0.1 unless told otherwise; settings from the environment (`.env.example`)."""

import os

import uvicorn

from usecases.course_api.application import make
from usecases.course_api.settings import Settings

OFFSET = 17  # in the block of ports, as in stack.config


def main() -> None:
    port = int(os.environ.get("CONSOLE_PORT_BASE") or 8000) + OFFSET
    application = make(Settings.from_environment(os.environ))
    host = os.environ.get("COURSE_API_BIND") or "127.0.0.1"
    uvicorn.run(application, host=host, port=port, access_log=False, server_header=False)


if __name__ == "__main__":
    main()
