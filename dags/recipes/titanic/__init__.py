"""Would this passenger have survived? From a passenger list to a registered forest."""
