"""Whole stories, told to the application as a host would."""
