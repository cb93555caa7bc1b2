import threads  # noqa: F401, it is for torch to read
