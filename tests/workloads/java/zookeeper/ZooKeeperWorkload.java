import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/** Argument: ADDRESS. A session that does every common operation, some of which fail, and sees one watch event. */
public final class ZooKeeperWorkload {
    private interface Call {
        void run() throws KeeperException, InterruptedException;
    }

    public static void main(String[] arguments) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(arguments[0], 30_000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        if (!connected.await(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not connected");
        }
        zk.create("/app", new byte[100], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        for (int i = 0; i < 3; i++) {
            zk.create("/app/lock-", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL);
        }
        for (int i = 0; i < 10; i++) {
            zk.getData("/app", false, null);
        }
        zk.getChildren("/app", false);
        zk.exists("/missing", false);
        fails(KeeperException.Code.NONODE, () -> zk.getData("/missing", false, null));
        fails(KeeperException.Code.NODEEXISTS,
                () -> zk.create("/app", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        fails(KeeperException.Code.BADVERSION, () -> zk.setData("/app", new byte[1], 77));
        fails(KeeperException.Code.BADVERSION,
                () -> zk.multi(List.of(Op.setData("/app", new byte[2], -1), Op.check("/app", 77))));
        zk.multi(List.of(
                Op.create("/app/one", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.delete("/app/one", -1)));
        CountDownLatch changed = new CountDownLatch(1);
        zk.getData("/app", event -> changed.countDown(), null);
        zk.setData("/app", "large".repeat(200).getBytes(), -1);
        if (!changed.await(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no event");
        }
        zk.getData("/app", false, null);
        zk.close();
    }

    private static void fails(KeeperException.Code code, Call call) throws InterruptedException {
        try {
            call.run();
        } catch (KeeperException error) {
            if (error.code() == code) {
                return;
            }
            throw new IllegalStateException(error);
        }
        throw new IllegalStateException("did not fail with " + code);
    }
}
