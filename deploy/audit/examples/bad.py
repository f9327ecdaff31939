# breaks: sql-made-of-values, sql-made-of-values
def find(cursor, name):
    asked = f"SELECT id FROM contact WHERE name = '{name}'"
    cursor.execute(asked)


def remove(cursor, name):
    cursor.execute("DELETE FROM contact WHERE name = '%s'" % name)
