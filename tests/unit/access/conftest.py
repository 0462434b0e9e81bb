"""What the tests of access share."""

from tests.redis_fixtures import *  # noqa: F403
