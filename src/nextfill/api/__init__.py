"""The verbs: functions of the package, nearly all of which are also commands.

Keyword arguments are named like the flags: ``--learning-rate`` is ``learning_rate``. ``data`` and
``eval_data`` take, beside a name, the data themselves; ``model`` and ``tokenizer`` live objects.
"""
