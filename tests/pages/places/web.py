from .place import Place


def prepare(request):
    return Place()
