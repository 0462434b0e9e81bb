"""How sentences about models write numbers: as the pages do."""

THIN = "\u202f"  # between thousands: a comma there is a decimal mark to half of the readers


def grouped(number: int) -> str:
    """12430 as "12 430"."""
    return f"{number:,}".replace(",", THIN)
