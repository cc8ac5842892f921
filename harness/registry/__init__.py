"""Mark components, discover the plugins that offer them, and list them in a catalogue."""
