import org.apache.thrift.TApplicationException;
import org.apache.thrift.TException;
import org.apache.thrift.TProcessor;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TCompactProtocol;
import org.apache.thrift.protocol.TField;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TMessageType;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TProtocolUtil;
import org.apache.thrift.protocol.TStruct;
import org.apache.thrift.protocol.TType;
import org.apache.thrift.server.TServer;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.server.TThreadedSelectorServer;
import org.apache.thrift.transport.TNonblockingServerSocket;
import org.apache.thrift.transport.TServerSocket;

/**
 * Apache Thrift's Java servers with the service of shop.thrift, written by hand: a nonblocking one with the binary protocol at
 * the port in argument 0, a threaded one with the compact protocol, unframed, at the next.
 */
public final class ThriftServer implements TProcessor {
    @Override
    public void process(TProtocol in, TProtocol out) throws TException {
        TMessage call = in.readMessageBegin();
        TProtocolUtil.skip(in, TType.STRUCT);
        in.readMessageEnd();
        if (call.type == TMessageType.ONEWAY) {
            return;
        }
        boolean known = call.name.equals("order") || call.name.equals("refuse");
        byte type = known ? TMessageType.REPLY : TMessageType.EXCEPTION;
        out.writeMessageBegin(new TMessage(call.name, type, call.seqid));
        if (!known) {
            new TApplicationException(TApplicationException.UNKNOWN_METHOD, "Unknown " + call.name).write(out);
        } else if (call.name.equals("order")) {
            out.writeStructBegin(new TStruct("order_result"));
            out.writeFieldBegin(new TField("success", TType.STRING, (short) 0));
            out.writeString("secret".repeat(10));
            out.writeFieldStop();
        } else {
            out.writeStructBegin(new TStruct("refuse_result"));
            out.writeFieldBegin(new TField("soldOut", TType.STRUCT, (short) 1));
            out.writeStructBegin(new TStruct("SoldOut"));
            out.writeFieldBegin(new TField("article", TType.STRING, (short) 1));
            out.writeString("secret");
            out.writeFieldStop();
            out.writeFieldStop();
        }
        out.writeMessageEnd();
        out.getTransport().flush();
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        TNonblockingServerSocket framed = new TNonblockingServerSocket(port);
        TServer nonblocking = new TThreadedSelectorServer(new TThreadedSelectorServer.Args(framed)
                .processor(new ThriftServer()).protocolFactory(new TBinaryProtocol.Factory()));
        new Thread(nonblocking::serve).start();
        new TThreadPoolServer(new TThreadPoolServer.Args(new TServerSocket(port + 1))
                .processor(new ThriftServer()).protocolFactory(new TCompactProtocol.Factory())).serve();
    }
}
