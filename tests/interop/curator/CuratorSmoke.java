import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.nodes.PersistentEphemeralNode;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;

/**
 * Curator's recipes against one server, named in the first argument.
 *
 * Prints "ok NAME" or "FAILED NAME: why" for each check. Before the last one it
 * prints "RESTART" and goes on when a line comes in: the server has then been
 * stopped and started on the same directory and port.
 */
public class CuratorSmoke {
    private static final int WAIT_S = 20;

    private interface Check {
        void run() throws Exception;
    }

    private final CuratorFramework one;
    private final CuratorFramework two;
    private int failed;

    public static void main(String[] arguments) throws Exception {
        CuratorSmoke smoke = new CuratorSmoke(arguments[0]);
        smoke.check("transaction", smoke::transaction);
        smoke.check("transaction that fails", smoke::transactionThatFails);
        smoke.check("mutex", smoke::mutex);
        smoke.check("read-write lock", smoke::readWriteLock);
        smoke.check("leader latch", smoke::leaderLatch);
        smoke.check("children cache", smoke::childrenCache);
        smoke.check("atomic long", smoke::atomicLong);
        smoke.check("queue", smoke::queue);
        smoke.check("protected create in background", smoke::protectedCreate);
        smoke.check("watches and ephemerals over a restart", smoke::restart);
        smoke.one.close();
        smoke.two.close();
        System.exit(smoke.failed == 0 ? 0 : 1);
    }

    CuratorSmoke(String address) {
        one = start(address);
        two = start(address);
    }

    private static CuratorFramework start(String address) {
        CuratorFramework client = CuratorFrameworkFactory.builder()
            .connectString(address)
            .namespace("curator")
            .sessionTimeoutMs(30000)
            .connectionTimeoutMs(15000)
            .retryPolicy(new RetryOneTime(100))
            .build();
        client.start();
        return client;
    }

    private void check(String name, Check check) {
        try {
            check.run();
            System.out.println("ok " + name);
        } catch (Throwable thrown) {
            failed++;
            System.out.println("FAILED " + name + ": " + thrown);
        }
    }

    private void transaction() throws Exception {
        one.create().forPath("/tx", bytes("old"));
        Collection<CuratorTransactionResult> results = one.inTransaction()
            .check().withVersion(0).forPath("/tx")
            .and().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/tx/a-", bytes("a"))
            .and().setData().forPath("/tx", bytes("new"))
            .and().create().forPath("/tx/gone")
            .and().delete().forPath("/tx/gone")
            .and().commit();
        List<CuratorTransactionResult> list = new ArrayList<>(results);
        equal(5, list.size());
        equal("/tx/a-0000000000", list.get(1).getResultPath());
        equal(1, list.get(2).getResultStat().getVersion());
        equal("new", text(two.getData().forPath("/tx")));
        equal(1, two.getChildren().forPath("/tx").size());
    }

    private void transactionThatFails() throws Exception {
        one.create().forPath("/tx2");
        try {
            one.inTransaction()
                .create().forPath("/tx2/never")
                .and().delete().forPath("/tx2/none")
                .and().setData().forPath("/tx2", bytes("never"))
                .and().commit();
        } catch (KeeperException.NoNodeException expected) {
            List<org.apache.zookeeper.OpResult> results = expected.getResults();
            equal(3, results.size());
            equal(0, ((org.apache.zookeeper.OpResult.ErrorResult) results.get(0)).getErr());
            equal(-101, ((org.apache.zookeeper.OpResult.ErrorResult) results.get(1)).getErr());
            equal(-2, ((org.apache.zookeeper.OpResult.ErrorResult) results.get(2)).getErr());
            equal(0, two.getChildren().forPath("/tx2").size());
            return;
        }
        throw new AssertionError("the transaction went through");
    }

    private void mutex() throws Exception {
        InterProcessMutex mine = new InterProcessMutex(one, "/mutex");
        InterProcessMutex yours = new InterProcessMutex(two, "/mutex");
        yes(mine.acquire(WAIT_S, TimeUnit.SECONDS));
        yes(!yours.acquire(200, TimeUnit.MILLISECONDS));
        CountDownLatch got = new CountDownLatch(1);
        Thread waiter = new Thread(() -> {
            try {
                yours.acquire();
                got.countDown();
                yours.release();
            } catch (Exception thrown) {
                throw new AssertionError(thrown);
            }
        });
        waiter.start();
        waitUntil(() -> two.getChildren().forPath("/mutex").size() == 2);
        yes(got.getCount() == 1);
        mine.release();
        yes(got.await(WAIT_S, TimeUnit.SECONDS));
        waiter.join();
        waitUntil(() -> two.getChildren().forPath("/mutex").isEmpty());
    }

    private void readWriteLock() throws Exception {
        InterProcessReadWriteLock mine = new InterProcessReadWriteLock(one, "/rw");
        InterProcessReadWriteLock yours = new InterProcessReadWriteLock(two, "/rw");
        yes(mine.readLock().acquire(WAIT_S, TimeUnit.SECONDS));
        yes(yours.readLock().acquire(WAIT_S, TimeUnit.SECONDS));
        yours.readLock().release();
        yes(!yours.writeLock().acquire(200, TimeUnit.MILLISECONDS));
        mine.readLock().release();
        yes(yours.writeLock().acquire(WAIT_S, TimeUnit.SECONDS));
        yours.writeLock().release();
    }

    private void leaderLatch() throws Exception {
        LeaderLatch first = new LeaderLatch(one, "/latch", "first");
        first.start();
        yes(first.await(WAIT_S, TimeUnit.SECONDS));
        LeaderLatch second = new LeaderLatch(two, "/latch", "second");
        second.start();
        waitUntil(() -> second.getParticipants().size() == 2);
        equal("first", second.getLeader().getId());
        yes(!second.hasLeadership());
        first.close();
        yes(second.await(WAIT_S, TimeUnit.SECONDS));
        second.close();
    }

    private void childrenCache() throws Exception {
        one.create().forPath("/cached");
        one.create().forPath("/cached/there", bytes("1"));
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        PathChildrenCache cache = new PathChildrenCache(two, "/cached", true);
        cache.getListenable().addListener((client, event) -> events.add(
            event.getType() + (event.getData() == null ? "" : " " + event.getData().getPath()
                + "=" + text(event.getData().getData()))));
        cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        one.create().forPath("/cached/new", bytes("2"));
        equal("CHILD_ADDED /cached/new=2", next(events));
        one.setData().forPath("/cached/there", bytes("3"));
        equal("CHILD_UPDATED /cached/there=3", next(events));
        one.delete().forPath("/cached/new");
        equal("CHILD_REMOVED /cached/new=2", next(events));
        cache.close();
    }

    private void atomicLong() throws Exception {
        DistributedAtomicLong mine = new DistributedAtomicLong(one, "/long", new RetryOneTime(10));
        DistributedAtomicLong yours = new DistributedAtomicLong(two, "/long", new RetryOneTime(10));
        for (int round = 0; round < 10; round++) {
            AtomicValue<Long> value = (round % 2 == 0 ? mine : yours).increment();
            yes(value.succeeded());
        }
        equal(10L, mine.get().postValue());
    }

    private void queue() throws Exception {
        SimpleDistributedQueue mine = new SimpleDistributedQueue(one, "/queue");
        SimpleDistributedQueue yours = new SimpleDistributedQueue(two, "/queue");
        for (int number = 0; number < 5; number++) {
            mine.offer(bytes("" + number));
        }
        for (int number = 0; number < 5; number++) {
            equal("" + number, text(yours.take()));
        }
    }

    private void protectedCreate() throws Exception {
        BlockingQueue<String> done = new LinkedBlockingQueue<>();
        one.create().creatingParentsIfNeeded().withProtection()
            .withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
            .inBackground((client, event) -> done.add(event.getResultCode() + " " + event.getName()))
            .forPath("/deep/er/node-");
        String result = next(done);
        yes(result.startsWith("0 /deep/er/_c_") && result.endsWith("-node-0000000000"));
    }

    private void restart() throws Exception {
        one.create().forPath("/watched", bytes("before"));
        PersistentEphemeralNode node = new PersistentEphemeralNode(
            one, PersistentEphemeralNode.Mode.EPHEMERAL, "/alive", bytes("here"));
        node.start();
        yes(node.waitForInitialCreate(WAIT_S, TimeUnit.SECONDS));
        long czxid = two.checkExists().forPath("/alive").getCzxid();
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        NodeCache cache = new NodeCache(two, "/watched");
        cache.getListenable().addListener(() -> seen.add(text(cache.getCurrentData().getData())));
        cache.start(true);
        long session = two.getZookeeperClient().getZooKeeper().getSessionId();
        CountDownLatch fired = new CountDownLatch(1);
        one.getData().usingWatcher((org.apache.curator.framework.api.CuratorWatcher) event -> {
            if (event.getType() == org.apache.zookeeper.Watcher.Event.EventType.NodeDataChanged) {
                fired.countDown();
            }
        }).forPath("/watched");

        System.out.println("RESTART");
        System.in.read();

        waitUntil(() -> {
            one.setData().forPath("/watched", bytes("after"));
            return true;
        });
        yes(fired.await(WAIT_S, TimeUnit.SECONDS));
        String last = next(seen);
        while (!last.equals("after")) {
            last = next(seen);
        }
        equal(session, two.getZookeeperClient().getZooKeeper().getSessionId());
        equal(czxid, two.checkExists().forPath("/alive").getCzxid());
        cache.close();
        node.close();
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void waitUntil(Condition condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
        while (true) {
            try {
                if (condition.holds()) {
                    return;
                }
            } catch (KeeperException.ConnectionLossException again) {
                // The server is on its way back.
            }
            if (System.nanoTime() > end) {
                throw new TimeoutException("not within " + WAIT_S + " s");
            }
            Thread.sleep(20);
        }
    }

    private static String next(BlockingQueue<String> events) throws Exception {
        String event = events.poll(WAIT_S, TimeUnit.SECONDS);
        if (event == null) {
            throw new TimeoutException("no event within " + WAIT_S + " s");
        }
        return event;
    }

    private static void yes(boolean condition) {
        if (!condition) {
            throw new AssertionError("condition does not hold");
        }
    }

    private static void equal(Object wanted, Object found) {
        if (wanted instanceof Integer) {
            wanted = ((Integer) wanted).longValue();
        }
        if (found instanceof Integer) {
            found = ((Integer) found).longValue();
        }
        if (!wanted.equals(found)) {
            throw new AssertionError("wanted " + wanted + ", found " + found);
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
    }
}
