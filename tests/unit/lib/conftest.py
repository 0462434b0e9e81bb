"""What the tests of the console's own code share."""

from tests.redis_fixtures import *  # noqa: F403
