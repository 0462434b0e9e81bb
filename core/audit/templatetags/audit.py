"""`{% load audit %}`: what was done, and what to, in words."""

from django import template

from core.audit import objects, words

register = template.Library()
register.filter("kind", objects.kind_of)
register.filter("in_words", words.in_words)
