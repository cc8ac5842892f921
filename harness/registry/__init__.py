"""Components and the plugins that offer them: marking, discovery, the catalogue."""
