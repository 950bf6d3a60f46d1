package org.example;

import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;

/** Offers {@link Stock} at the port in argument 0 with Hessian 2, and at the next with Fastjson 2; without a registry. */
public final class Provider implements Stock {
    @Override
    public int count(String article) {
        return 7;
    }

    @Override
    public String take(String article) throws OutOfStock {
        throw new OutOfStock(article);
    }

    @Override
    public void forget(String article) {}

    private static void offer(ApplicationConfig application, int port, String serialization) {
        ProtocolConfig protocol = new ProtocolConfig("dubbo", port);
        protocol.setId(serialization);
        protocol.setHost("127.0.0.1");
        protocol.setSerialization(serialization);
        protocol.setPreferSerialization(serialization);
        ServiceConfig<Stock> service = new ServiceConfig<>();
        service.setApplication(application);
        service.setRegistry(new RegistryConfig("N/A"));
        service.setProtocol(protocol);
        service.setInterface(Stock.class);
        service.setVersion("1.2.3");
        service.setRef(new Provider());
        service.export();
    }

    public static void main(String[] arguments) throws Exception {
        ApplicationConfig application = new ApplicationConfig("provider");
        application.setQosEnable(false);
        int port = Integer.parseInt(arguments[0]);
        // The port that others wait for is opened last.
        offer(application, port + 1, "fastjson2");
        offer(application, port, "hessian2");
        Thread.currentThread().join();
    }
}
