"""Parts of paths that Django has no converter for."""

from django.urls.converters import StringConverter


class GroupConverter(StringConverter):
    """The id of a consumer group: any text, with slashes and line ends in it."""

    regex = r"[\s\S]+"
