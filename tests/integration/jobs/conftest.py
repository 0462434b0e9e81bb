from tests.spark_session import *  # noqa: F403
