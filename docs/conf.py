"""Sphinx's configuration: Markdown in, a site out that reads nothing from outside."""

project = "Atalaya"
html_title = "Atalaya"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["notebooks"]
nitpicky = True

myst_heading_anchors = 4  # `page.md#a-heading` works as it does in the repository, and is checked
myst_links_external_new_tab = False

html_theme = "furo"  # the system's own fonts
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_permalinks_icon = "#"
highlight_language = "none"  # what a block is in stands at its fence
