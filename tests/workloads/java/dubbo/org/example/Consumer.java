package org.example;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.List;

import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.MethodConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.rpc.RpcException;

/**
 * Calls a provider at the port in argument 0 with the serialization in argument 1, a round a line of standard input: three
 * calls that succeed, one that throws, one that wants no answer, and one of a service that nobody offers.
 */
public final class Consumer {
    private static <T> T refer(Class<T> service, String version, String[] arguments) {
        ApplicationConfig application = new ApplicationConfig("consumer");
        application.setQosEnable(false);
        ReferenceConfig<T> reference = new ReferenceConfig<>();
        reference.setApplication(application);
        reference.setInterface(service);
        reference.setVersion(version);
        reference.setCheck(false);
        reference.setRetries(0);
        reference.setTimeout(20_000);
        reference.setUrl("dubbo://127.0.0.1:" + arguments[0] + "?serialization=" + arguments[1]
                + "&prefer.serialization=" + arguments[1]);
        MethodConfig forget = new MethodConfig();
        forget.setName("forget");
        forget.setReturn(false);
        if (service == Stock.class) {
            reference.setMethods(List.of(forget));
        }
        return reference.get();
    }

    public static void main(String[] arguments) throws Exception {
        Stock stock = refer(Stock.class, "1.2.3", arguments);
        Cellar cellar = refer(Cellar.class, null, arguments);
        System.out.println("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        while (lines.readLine() != null) {
            for (int i = 0; i < 3; i++) {
                if (stock.count("secret") != 7) {
                    throw new AssertionError("not seven");
                }
            }
            try {
                stock.take("secret");
                throw new AssertionError("taken");
            } catch (OutOfStock expected) {
                // As it should be.
            }
            stock.forget("secret");
            try {
                cellar.depth();
                throw new AssertionError("deep");
            } catch (RpcException expected) {
                // As it should be.
            }
            System.out.println("ready");
        }
        System.exit(0);
    }
}
