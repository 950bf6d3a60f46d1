"""SOAP 1.1 or 1.2 (argument 1) on the port in argument 3: `server` (spyne) or `client` (zeep; argument 2), which reads the
WSDL and makes each call once."""

import sys

version, role, port = sys.argv[1:]


def server():
    import logging
    from wsgiref.simple_server import make_server

    from spyne import Application, Fault, Integer, ServiceBase, Unicode, rpc
    from spyne.protocol.soap import Soap11, Soap12
    from spyne.server.wsgi import WsgiApplication

    logging.disable(logging.CRITICAL)

    class Shop(ServiceBase):
        @rpc(Unicode, _returns=Integer)
        def GetPrice(ctx, item):
            return len(item)

        @rpc(Unicode, _returns=Integer)
        def Refuse(ctx, item):
            raise Fault(faultcode="Client.Refused", faultstring="secret-reason")

    soap = Soap11 if version == "1.1" else Soap12
    shop = Application(
        [Shop], "urn:remora.shop", name="Shop", in_protocol=soap(validator="lxml"), out_protocol=soap()
    )
    make_server("127.0.0.1", int(port), WsgiApplication(shop)).serve_forever()


def client():
    import zeep

    shop = zeep.Client(f"http://127.0.0.1:{port}/shop?wsdl").service
    assert shop.GetPrice("secret-item") == 11
    try:
        shop.Refuse("secret-item")
        raise SystemExit("it answered")
    except zeep.exceptions.Fault:
        pass


client() if role == "client" else server()
