"""The verbs `train`, `prepare`, `evaluate`, `generate`, `fill`, `report`: each is also a command.

Keyword arguments are named like the flags: ``--learning-rate`` is ``learning_rate``. ``data`` and
``eval_data`` take, beside a name, the data themselves; ``model`` and ``tokenizer`` live objects.
"""
