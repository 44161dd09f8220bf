NAME = "from more"
