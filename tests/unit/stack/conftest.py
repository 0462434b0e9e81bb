"""What tests of the stack have in common."""

from tests.redis_fixtures import *  # noqa: F403
