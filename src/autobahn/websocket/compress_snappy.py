"""permessage-snappy: an experiment of autobahn's, never registered as an extension (RFC 6455 11.4); not built here."""

raise ImportError("permessage-snappy is not built: nobody else speaks it; use permessage-deflate")
