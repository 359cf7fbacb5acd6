# The compiled unit has the interface of its Python twin.
from autobahn.websocket._frames_py import Reader as Reader
from autobahn.websocket._frames_py import Writer as Writer
