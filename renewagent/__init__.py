"""renewagent: finds badly issued signing certificates on smartcards and renews them safely."""

__version__ = "0.1.0"
