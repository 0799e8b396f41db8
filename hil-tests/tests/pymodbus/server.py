"""Serves registers by pymodbus, so that the product's Modbus meets one that is not ours.

    server.py tcp PORT          Modbus TCP on 127.0.0.1
    server.py rtu PATH          RTU on a serial port, 9600 8N1

The first line on standard input is {"units": {"1": {"holding": {"130": 8192}, ...}}}; each later
line, {"unit": 1, "space": "holding", "at": 130, "word": 0}, changes a register, and is answered by
the line `ok`. What is not named is an illegal data address. `ready` on standard output: it serves.
It ends with its standard input.
"""

import asyncio
import json
import sys
from functools import partial

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

SPACES = ["coil", "discrete", "holding", "input"]
# Function code to table: MODBUS Application Protocol V1.1b3, 6.1 to 6.4.
TABLE = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


def block(space, words):
    """Runs of registers that follow each other."""
    bits = space in ("coil", "discrete")
    runs = []
    for at in sorted(words):
        if runs and at == runs[-1][0] + len(runs[-1][1]):
            runs[-1][1].append(words[at])
        else:
            runs.append((at, [words[at]]))
    data = [
        SimData(
            at,
            values=[bool(value) for value in values] if bits else values,
            datatype=DataType.BITS if bits else DataType.REGISTERS,
        )
        for at, values in runs
    ]
    # pymodbus refuses an empty table.
    empty = SimData(65535, values=[False], datatype=DataType.BITS) if bits else SimData(65535)
    return data or [empty]


async def overlay(changed, function, start, address, count, registers, values):
    """Puts what was changed since the start into what pymodbus is about to answer."""
    space = TABLE.get(function)
    for at in range(address, address + count):
        if (space, at) in changed:
            registers[at - start] = changed[space, at]


async def commands(changed):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        changed[order["unit"]][order["space"], order["at"]] = order["word"]
        print("ok", flush=True)


async def main():
    kind, place = sys.argv[1:]
    units = json.loads(sys.stdin.readline())["units"]
    changed = {int(unit): {} for unit in units}
    devices = []
    for unit, tables in units.items():
        tables = {space: {int(at): word for at, word in words.items()} for space, words in tables.items()}
        blocks = tuple(block(space, tables.get(space, {})) for space in SPACES)
        devices.append(SimDevice(int(unit), simdata=blocks, action=partial(overlay, changed[int(unit)])))
    if kind == "tcp":
        server = ModbusTcpServer(devices, address=("127.0.0.1", int(place)))
    else:
        server = ModbusSerialServer(
            devices, framer=FramerType.RTU, port=place, baudrate=9600, parity="N", ignore_missing_devices=True
        )
    await server.serve_forever(background=True)
    print("ready", flush=True)
    await commands(changed)
    await server.shutdown()


asyncio.run(main())
