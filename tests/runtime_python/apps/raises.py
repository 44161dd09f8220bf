def setting_up():
    raise KeyError("missing")


setting_up()
