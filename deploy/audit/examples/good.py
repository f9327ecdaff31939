def find(cursor, name):
    cursor.execute("SELECT id FROM contact WHERE name = %s", [name])
