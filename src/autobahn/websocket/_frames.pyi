# The compiled unit has the interface of its Python twins.
from autobahn.websocket._frames_py import Reader as Reader
from autobahn.websocket._frames_py import Writer as Writer
from autobahn.websocket._pump_py import Pump as Pump

def trim_memory() -> None: ...
