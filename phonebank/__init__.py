"""Phonebank: many WhatsApp numbers, one desk."""

__version__ = "0.1.0"
