"""The stylesheet and the icons: their parts, and what makes the served files from them."""
