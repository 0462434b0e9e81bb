"""`{% load audit %}`: what an entry is about, in words."""

from django import template

from core.audit import objects

register = template.Library()
register.filter("kind", objects.kind_of)
