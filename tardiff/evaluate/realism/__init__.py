"""Realism."""
