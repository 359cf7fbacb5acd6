"""permessage-brotli: an experiment of autobahn's, never registered as an extension (RFC 6455 11.4); not built here."""

raise ImportError("permessage-brotli is not built: nobody else speaks it; use permessage-deflate")
