"""One-time passwords: made by chance, shown once, good until their owner chooses another."""

import secrets

# Without the letters and digits that people mistake for one another.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, GROUP_LENGTH = 4, 5


def one_time_password() -> str:
    """About 99 bits, in groups that can be read aloud: k7mqx-…"""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
