"""The one way in which networks are trained here."""
