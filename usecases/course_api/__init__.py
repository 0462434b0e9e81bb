"""The HTTP service that two use cases collect their data from, with the habits and faults of such services.

`python -m usecases.course_api`; needs no Django, so that it can stand anywhere.
"""
