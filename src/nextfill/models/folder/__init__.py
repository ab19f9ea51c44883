"""The folder of a model: where it lies, and its files, looked at before a library reads them."""
