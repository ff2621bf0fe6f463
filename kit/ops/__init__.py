"""What an operator sees of any room: the same small service everywhere, fed by what the room can tell."""
