"""The recording formats, one module each; see `pytest_chatapi.reading.format`."""
