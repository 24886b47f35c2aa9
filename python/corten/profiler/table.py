"""A profile as a table of text."""


def _time(us, unit):
    scale = {"s": 1e6, "ms": 1e3, "us": 1.0}
    if unit is None:
        unit = "s" if us >= 1e6 else "ms" if us >= 1e3 else "us"
    return f"{us / scale[unit]:.3f}{unit}"


def _scaled(value, units, base):
    """A number with the largest unit that leaves something before the point."""
    unit = units[0]
    for larger in units[1:]:
        if abs(value) < base:
            break
        value, unit = value / base, larger
    return f"{value:.2f} {unit}".strip()


def _memory(bytes):
    return _scaled(bytes, ("B", "KB", "MB", "GB", "TB"), 1024) if bytes else "0 B"


def _rate(value, unit):
    return _scaled(value, [prefix + unit for prefix in ("", "k", "M", "G", "T")], 1000) if value else "--"


def _count(value):
    return _scaled(value, ("", "k", "M", "G", "T", "P"), 1000) if value else "--"


def _share(part, whole):
    return f"{100 * part / whole:.2f}%" if whole else "--"


def _cut(text, width):
    return text if width is None or len(text) <= width else text[: width - 3] + "..."


def _columns(rows, widths, memory, unit):
    """Titles, and for each the text of a row."""
    name_width, shapes_width, source_width = widths
    cpu = sum(row.self_cpu_time_total for row in rows if row.device_type.name == "CPU")
    gpu = sum(row.self_device_time_total for row in rows if row.device_type.name == "CPU")
    columns = [
        ("Name", lambda row: _cut(row.key, name_width)),
        ("Self CPU %", lambda row: _share(row.self_cpu_time_total, cpu)),
        ("Self CPU", lambda row: _time(row.self_cpu_time_total, unit)),
        ("CPU total %", lambda row: _share(row.cpu_time_total, cpu)),
        ("CPU total", lambda row: _time(row.cpu_time_total, unit)),
        ("CPU time avg", lambda row: _time(row.cpu_time, unit)),
    ]
    if any(row.on_gpu for row in rows):
        columns += [
            ("Self GPU", lambda row: _time(row.self_device_time_total, unit)),
            ("Self GPU %", lambda row: _share(row.self_device_time_total, gpu)),
            ("GPU total", lambda row: _time(row.device_time_total, unit)),
            ("GPU time avg", lambda row: _time(row.device_time, unit)),
        ]
    if memory:
        columns += [
            ("CPU Mem", lambda row: _memory(row.cpu_memory_usage)),
            ("Self CPU Mem", lambda row: _memory(row.self_cpu_memory_usage)),
        ]
        if any(row.on_gpu for row in rows):
            columns += [
                ("GPU Mem", lambda row: _memory(row.device_memory_usage)),
                ("Self GPU Mem", lambda row: _memory(row.self_device_memory_usage)),
            ]
    columns += [
        ("# of Calls", lambda row: str(row.count)),
        ("Read", lambda row: _memory(row.bytes_read)),
        ("Written", lambda row: _memory(row.bytes_written)),
        ("Bytes/s", lambda row: _rate(row.bytes_per_second, "B/s")),
        ("FLOPs", lambda row: _count(row.flops)),
        ("FLOP/s", lambda row: _rate(row.flops_per_second, "FLOP/s")),
    ]
    if any(row.input_shapes for row in rows):
        columns.append(("Input Shapes", lambda row: _cut(str(row.input_shapes), shapes_width)))
    if any(row.stack for row in rows):
        columns.append(("Source Location", lambda row: _cut(row.stack[0] if row.stack else "", source_width)))
    return columns, cpu, gpu


def build_table(rows, limit, widths, header, memory, note, unit):
    """The text of a table; `limit` -1 shows every row."""
    if not rows:
        return ""
    columns, cpu, gpu = _columns(rows, widths, memory, unit)
    shown = rows if limit < 0 else rows[:limit]
    cells = [[title for title, _ in columns]] + [[text(row) for _, text in columns] for row in shown]
    sizes = [max(map(len, column)) for column in zip(*cells)]
    rule = "  ".join("-" * size for size in sizes)
    lines = ["  ".join(cell.rjust(size) for cell, size in zip(row, sizes)) for row in cells]
    foot = [f"Self CPU time total: {_time(cpu, unit)}"]
    if any(row.on_gpu for row in rows):
        foot.append(note or f"Self GPU time total: {_time(gpu, unit)}")
    above = [] if header is None else [rule, header]
    return "\n".join([*above, rule, lines[0], rule, *lines[1:], rule, *foot]) + "\n"
