"""The batch interfaces of providers, as a second way to send the same requests."""
