"""What tests of the use cases share."""

from tests.redis_fixtures import *  # noqa: F403
